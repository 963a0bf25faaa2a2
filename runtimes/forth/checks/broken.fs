: broken nothing ;
