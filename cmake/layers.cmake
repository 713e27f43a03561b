# The law of layers: what each room of src/ may include beside itself (transitively closed below).
# It drives both linking (skarv_room) and the check that the build runs (check_layers.cmake).
set(SKARV_ROOMS_CORE base spec plan data ckpt net handoff wan)
set(SKARV_ROOMS_TORCH device model comm train)

set(SKARV_MAY_base "")
set(SKARV_MAY_spec base)
set(SKARV_MAY_plan spec)
set(SKARV_MAY_data spec)
set(SKARV_MAY_ckpt spec)
set(SKARV_MAY_net spec)
set(SKARV_MAY_handoff spec)
set(SKARV_MAY_wan ckpt net spec)
set(SKARV_MAY_device spec)
set(SKARV_MAY_model device)
set(SKARV_MAY_comm device net)
set(SKARV_MAY_train model comm data ckpt handoff)
# The programs join the rooms; nothing includes them.
set(SKARV_MAY_skarv plan data ckpt net wan handoff)
set(SKARV_MAY_worker train)

# skarv_reach(<room> <out>): every room that <room> may include, itself first.
function(skarv_reach room out)
  set(todo ${room})
  set(seen "")
  while(todo)
    list(POP_FRONT todo next)
    if(NOT next IN_LIST seen)
      list(APPEND seen ${next})
      list(APPEND todo ${SKARV_MAY_${next}})
    endif()
  endwhile()
  set(${out} ${seen} PARENT_SCOPE)
endfunction()
